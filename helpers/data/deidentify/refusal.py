"""Why an image is not written: a subject and a reason, neither of which repeats anything that the file holds."""


class RefusedError(ValueError):
    """An image that cannot be cleaned.

    Attributes:
        subject: a few words that stay the same, to count by.
    """

    def __init__(self, subject: str, reason: str) -> None:
        """Say why.

        Args:
            subject: such as "secondary capture".
            reason: a sentence, with what would mend it.
        """
        super().__init__(f"{subject}: {reason}")
        self.subject = subject
