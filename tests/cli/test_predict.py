"""Do `hpcfit scale calibrate` and `predict` go from a fit file to a table, and refuse what they cannot use?"""

import json
from pathlib import Path

BATCHED = ("workers = 2", 'kind = "batched"\nworkers = 1')


def test_from_a_fit_file_to_a_table_and_a_figure(tiny, hpcfit):
    made = hpcfit("scale", "calibrate", tiny(BATCHED), "-o", "here.json", "--cores", 3)
    assert made.code == 0, made.err
    known = json.loads(Path("here.json").read_text())
    assert known["kernel"]["workers"] == 3 and known["kernel"]["row_s"] > 0 and known["rank_0"]["ask_row_s"] > 0
    asked = ("scale", "predict", "--calibration", "here.json", "--nodes", "1,2,64")
    weak = hpcfit(*asked, "-o", "weak")
    assert weak.code == 0, weak.err
    head, *lines = [line for line in weak.out.splitlines() if line][1:]
    assert "weak %" in head and [line.split()[0] for line in lines[:3]] == ["1", "2", "64"]
    assert lines[0].split()[3] == "100.0"
    rows = json.loads(Path("weak/prediction.json").read_text())["rows"]
    assert [row["population"] for row in rows] == [250, 500, 16000] and Path(
        "weak/prediction.png"
    ).stat().st_size > 9000
    strong = hpcfit(*asked, "-o", "strong", "--population", 5000)
    assert strong.code == 0 and "strong %" in strong.out
    slow = hpcfit(*asked, "-o", "slow", "--slower", 1000, "--cores", 1)
    slower = json.loads(Path("slow/prediction.json").read_text())["rows"]
    # One core in place of three, a thousand times the work for each: the rest of the time is what was measured here.
    ratio = slower[2]["parts_s"]["simulate"] / rows[2]["parts_s"]["simulate"]
    assert slow.code == 0 and abs(ratio / 3000 - 1) < 0.01


def test_what_cannot_be_predicted_is_one_line(tiny, hpcfit):
    file = tiny(BATCHED)
    wrong = {
        ("scale", "predict"): "give a fit file to be measured here, or --calibration",
        ("scale", "predict", str(file), "--calibration", "x.json"): "one of the two",
        ("scale", "predict", "--calibration", "x.json"): "x.json: cannot be read",
        ("scale", "predict", "--calibration", str(file), "--nodes", "1,two"): "--nodes",
        ("scale", "predict", "--calibration", str(file)): "unknown key",
        ("scale", "calibrate", "none.toml"): "none.toml: no such file",
    }
    for command, said in wrong.items():
        ended = hpcfit(*command)
        assert ended.code == 2 and said in ended.err and len(ended.err.splitlines()) == 1, (command, ended.err)
