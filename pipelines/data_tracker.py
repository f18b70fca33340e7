"""Keeps Ray Data's executions of a cluster alive when a node dies.

Ray Data (2.60) has one detached actor for a whole cluster, `ActorLocationTracker`, on the node of whatever process
asked for it first, often that of a training worker. Once that node is gone the actor can never be started again, and
every execution with actors fails, that of any job, until the cluster itself is restarted.
"""

import logging

log = logging.getLogger(__name__)

_PATIENCE_S = 20.0


def hold_data_tracker() -> None:
    """Have that actor on this process's node, which must live as long as its job; one that works already is left alone.

    Where the one there is cannot answer any more, another takes its place.
    """
    import ray

    try:
        from ray.data._internal.execution.node_trackers.actor_location import get_or_create_actor_location_tracker
    except ImportError:  # another version of Ray, which does without it
        return
    for _ in range(2):
        tracker = get_or_create_actor_location_tracker()
        try:
            ray.get(tracker.get_actor_locations.remote(()), timeout=_PATIENCE_S)
        except (ray.exceptions.RayActorError, ray.exceptions.ActorUnschedulableError, ray.exceptions.GetTimeoutError):
            log.debug("Ray Data's ActorLocationTracker was on a node that is gone; another is started here.")
            ray.kill(tracker)
        else:
            return
