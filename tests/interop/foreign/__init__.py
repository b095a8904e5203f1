"""An agent that nobody of this project wrote, as far as its code is concerned: made from the RFCs on raw keys.

It stands on ``cryptography`` and on the canonical JSON, compact JWS and checks of ``aitp-verifier``, and on nothing of
the agents' own library or of this project. What it says is therefore what the standard says, or the tests find out.
"""
