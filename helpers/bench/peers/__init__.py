"""Scripts that measure a peer, each run by itself: see `helpers.bench.subprocess_peer.Peer`.

They import nothing of the course, so that they also run in a Python which has nothing of it.
"""
