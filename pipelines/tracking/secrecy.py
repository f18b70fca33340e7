"""Keep credentials out of what is recorded.

Configurations and texts are recorded in full; whatever in them is a credential of this process, or sits in a URI
where credentials sit, is masked first.
"""

import os
import re
from collections.abc import Mapping

MASK = "***"
_SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL|ACCESS_KEY|API_KEY|PRIVATE_KEY", re.IGNORECASE)
_USERINFO = re.compile(r"(?<=://)[^/@\s'\"]+@")
_SHORTEST_SECRET = 8  # shorter values are words like "test", and masking those would garble texts


def mask_secrets(text: str, environment: Mapping[str, str] | None = None) -> str:
    """The text without credentials.

    Args:
        text: What is about to be recorded.
        environment: Where credentials are looked up by the names of variables; None reads the process's own.
    """
    variables = os.environ if environment is None else environment
    secrets = {value for name, value in variables.items() if _SECRET_NAME.search(name)}
    for secret in sorted(secrets, key=len, reverse=True):  # one may be part of another
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, MASK)
    return _USERINFO.sub(f"{MASK}@", text)
