"""The official packages of language models' providers. Nothing imports these modules but an agent's first question.

They cost a second or two to import: the fork server leaves this package out of what it prepares.
"""
