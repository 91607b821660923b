"""What NEURON's compiled mechanisms compute under a voltage clamp.  A program: a JSON request in, a JSON answer out.

Each voltage has a section of its own, whose capacitance is so large that its voltage stays.
"""

import json
import sys


def insert(h, job, voltage):
    section = h.Section()
    section.L = section.diam = job.get("diam", 10)
    section.cm = 1e20
    for name in job.get("companions", []):
        section.insert(name)
    if job["kind"] == "density":
        section.insert(job["name"])
        target = getattr(section(0.5), job["name"])
    else:
        target = getattr(h, job["name"])(section(0.5))
    for name, value in job.get("parameters", {}).items():
        setattr(target, name, value)
    for name, value in job.get("ions", {}).items():
        setattr(section(0.5), name, value)
    section.v = voltage
    return section, target


def read(pairs, names, ions):
    found = {}
    for name in [*names, *ions, "v"]:
        values = []
        for section, target in pairs:
            holder = section(0.5) if name in ions or name == "v" else target
            value = getattr(holder, name, None)
            values.append(value)
        if None not in values:
            found[name] = values
    return found


def answer(h, job):
    h.celsius, h.dt = job["celsius"], job["dt"]
    for name, value in job.get("globals", {}).items():
        setattr(h, name, value)
    pairs = [insert(h, job, v) for v in job["voltages"]]
    h.finitialize()
    got = [read(pairs, job["names"], job["ion_names"])]
    for (section, _), voltage in zip(pairs, job["then"], strict=True):
        section.v = voltage
    for _ in range(job["steps"]):
        h.fadvance()
        got.append(read(pairs, job["names"], job["ion_names"]))
    h.fcurrent()
    got.append(read(pairs, job["names"], job["ion_names"]))
    area = pairs[0][0](0.5).area()
    return {"snapshots": got, "area": area, "F": h.FARADAY, "R": h.R}


def main():
    request = json.load(sys.stdin)
    from neuron import h

    h.nrn_load_dll(request["library"])
    answers = []
    for job in request["jobs"]:
        try:
            answers.append(answer(h, job))
        except Exception as error:
            answers.append({"error": repr(error)})
    print("ANSWER" + json.dumps(answers))


if __name__ == "__main__":
    main()
