"""Scripts that measure a peer, each run as a subprocess: see `helpers.bench.subprocess_peer.Peer`.

They do not import the course, so that they also run in an environment without it.
"""
