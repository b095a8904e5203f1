"""A worker that ranks risks."""


def preload() -> None:
    """What every analyzer would do first, done once ahead of all forks."""
    from analyzer.report import risk_report
    from base.text.material import read_material

    # Compiles the cues, which are patterns made at their first use.
    risk_report(read_material({"topic": "trust", "text": "A stolen key may leak data. Mitigated by rotation."}))
