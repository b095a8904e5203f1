"""Recordings: a run in its normal form, in which only what is the run's own stands, and how two of them differ.

Nothing here waits, and everything takes long for a long run: callers that serve others do it in a thread. Texts are
looked through and parts are sorted in small pieces, so that no other thread is kept waiting for 50 ms.
"""
