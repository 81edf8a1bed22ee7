"""What a terminal shows of uploads and fetches."""

import pytest

from anvcs_tools.cli import meter
from anvcs_tools.cli.meter import Rate, progress_line


def test_a_line_of_progress():
    shown = progress_line("fetching", (3, 4), 5 << 30, 10 << 30, 1_500_000.0)
    assert shown == "fetching 3/4 files, 5.0 GiB of 10.0 GiB (50 %), 1.4 MiB/s"
    assert progress_line("uploading", (0, 1), 0, 300, 0.0) == "uploading 0/1 files, 0.0 KiB of 0.3 KiB (0 %), 0.0 KiB/s"
    assert "(100 %)" in progress_line("uploading", (1, 1), 700, 300, 0.0), "parts that had to be sent again"
    assert "(100 %)" in progress_line("fetching", (1, 1), 0, 0, 0.0)


def test_a_rate_is_that_of_the_last_seconds(monkeypatch: pytest.MonkeyPatch):
    now = [100.0]
    monkeypatch.setattr(meter.time, "monotonic", lambda: now[0])
    rate = Rate()
    found = []
    for second in range(1, 11):
        now[0] += 1
        found.append(rate.at(1000 * second if second <= 5 else 5000))
    assert found[:5] == [1000.0] * 5
    assert found[5:] == [750.0, 500.0, 250.0, 0.0, 0.0], "nothing comes any more"
