"""A cluster of Ray on this machine whose nodes can be killed: separate raylets, each with one processor."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mecam import ray_cluster

__all__ = ["SECOND", "two_nodes"]

HERE = Path(__file__).parent

QUICK_TO_NOTICE = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 4,
}
"""When a node is missed: after seconds, in place of a quarter of a minute."""

SECOND = {"num_cpus": 1, "num_gpus": 1}
"""The second node. Its GPU is a number in Ray's books and no more: what would compute on it finds none."""


@contextmanager
def two_nodes() -> Iterator[Any]:
    """A head and another node; workers import mecam and the helpers of the tests.

    Yields: the cluster, with its `address`, and `add_node` and `remove_node`.
    """
    before = dict(os.environ)
    paths = [str(HERE), str(HERE.parent / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    os.environ.update(ray_cluster.QUIET)
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "include_dashboard": False, "_system_config": QUICK_TO_NOTICE}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        cluster.add_node(**SECOND)
        yield cluster
    finally:
        cluster.shutdown()
        os.environ.clear()
        os.environ.update(before)
