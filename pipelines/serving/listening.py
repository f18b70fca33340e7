"""Where Ray Serve of this cluster listens: it keeps the address that it was started with."""


def listening_address() -> tuple[str, int]:
    """Host and port of its proxies, as it says itself.

    Raises:
        RayServeException: It does not run.
    """
    from ray.serve.context import _get_global_client

    options = _get_global_client().http_config
    return str(options.host), int(options.port)
