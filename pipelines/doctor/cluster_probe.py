"""A process that connects to a cluster and asks its nodes: `python -m pipelines.doctor.cluster_probe ADDRESS`.

Its last line is JSON: `nodes`, or `problem` and `remedy`.
"""

import json
import sys
from dataclasses import asdict
from typing import Any

from pipelines.cluster import RayConfig, connect
from pipelines.nodes import ask_nodes
from rssr.errors import RssrError


def main(address: str) -> None:
    """Print what was found."""
    import ray

    try:
        connect(address, RayConfig(address=address))
        told: dict[str, Any] = {"nodes": [asdict(facts) for facts in ask_nodes()]}
        ray.shutdown()
    except RssrError as error:
        told = {"problem": error.problem, "remedy": error.remedy}
    print(json.dumps(told, default=list), flush=True)  # the process's answer


if __name__ == "__main__":
    main(sys.argv[1])
