"""aitp-playground: run AITP scenarios on real agents and record everything that happened."""

__version__ = "0.1.0"
