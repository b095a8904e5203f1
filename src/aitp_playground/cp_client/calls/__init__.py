"""The calls of the client, by what they are about; each group is one base of ``CpClient``."""
