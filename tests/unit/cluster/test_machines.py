"""A batch says it when no machine of the cluster is left, and when one is back."""

from queue import Queue

import pytest
import ray

from carina.cluster import ray_engine


def test_it_is_said_once_that_no_machine_is_left_and_that_one_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_engine, "_LOOK_S", 0.01)
    head, machine = {"Alive": True, "Resources": {"memory": 1.0}}, {"Alive": True, "Resources": {"CPU": 2.0}}
    nodes = [head, machine]
    monkeypatch.setattr(ray, "nodes", lambda: list(nodes))
    said: Queue[str] = Queue()
    with ray_engine.told_of_machines(said.put):
        nodes[1] = {**machine, "Alive": False}
        assert said.get(timeout=10).startswith("No machine of the cluster is left that judges.")
        nodes[1] = machine
        assert said.get(timeout=10) == "A machine of the cluster is back. The batch goes on."
    assert said.empty()
