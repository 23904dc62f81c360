"""Which of two agents is the newer one. The release goes up by one with every change of the agent; see agent.lock."""

RELEASE = 2
