"""The composition root: how a server is started, as one process or several."""
