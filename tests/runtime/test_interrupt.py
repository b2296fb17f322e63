"""Laws of Ctrl-C and SIGTERM: the first waits for the step, the second does not, and nothing stays changed."""

import os
import signal
import threading

import pytest

from helpers.runtime.interrupt import Terminated, defer_interrupt, raise_interrupt, terminate_as_interrupt

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def _heard():
    """Ctrl-C is heard, also where the shell started these tests in the background and had it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _send(number):
    os.kill(os.getpid(), number)


def _handlers():
    return [signal.getsignal(number) for number in SIGNALS]


@pytest.mark.parametrize("number", SIGNALS)
def test_first_signal_waits(number):
    before = _handlers()
    with defer_interrupt() as received:
        assert received == []
        _send(number)
        assert received == [number]
    assert _handlers() == before


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_deferred_signal_ends_as_it_would_have(number, raised):
    def step():
        with defer_interrupt() as received:
            _send(number)
            raise_interrupt(received)

    with pytest.raises(KeyboardInterrupt) as met:
        step()
    assert met.type is raised


@pytest.mark.parametrize("first", SIGNALS)
@pytest.mark.parametrize(("second", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_second_signal_does_not_wait(first, second, raised):
    def step():
        with defer_interrupt():
            _send(first)
            _send(second)
            pytest.fail("went on")

    with terminate_as_interrupt():
        before = _handlers()
        with pytest.raises(KeyboardInterrupt) as met:
            step()
        assert met.type is raised
        assert _handlers() == before
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_sigterm_is_an_interrupt_in_a_command():
    def command():
        with terminate_as_interrupt():
            _send(signal.SIGTERM)
            pytest.fail("went on")

    with pytest.raises(Terminated):
        command()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("context", [defer_interrupt, terminate_as_interrupt])
def test_handlers_of_others_are_left_alone(context):
    met = []
    others = [signal.signal(number, lambda *_: met.append(1)) for number in SIGNALS]
    try:
        with context():
            _send(signal.SIGTERM)
        assert met == [1]
    finally:
        for number, handler in zip(SIGNALS, others, strict=True):
            signal.signal(number, handler)


@pytest.mark.parametrize("context", [defer_interrupt, terminate_as_interrupt])
def test_other_threads_change_nothing(context):
    found = []

    def look():
        with context():
            found.extend(_handlers())

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == _handlers()
