"""Pictures and the page of a run. Everything here reads and draws; what needs a network is computed in ``views``."""
