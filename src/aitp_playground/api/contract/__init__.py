"""The contract: what every route takes and answers, said beside its handler and gathered into one document."""
