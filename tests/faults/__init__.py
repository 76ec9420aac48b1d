"""The fault matrix: every fault of the simulator in every state that it can meet, in fake time, with exact numbers."""
