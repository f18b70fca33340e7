from rssr.service_keys import is_key, key_digest, new_key


def test_keys_are_long_and_never_the_same() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(is_key(key) and len(key) >= 45 for key in keys)
    assert len({key_digest(key) for key in keys}) == 100


def test_keys_of_peoples_own_making_are_none() -> None:
    assert not any(
        is_key(text) for text in ("", "secret", "rssr_short", "x" * 48, "rssr_" + "é" * 30, new_key() + "\n")
    )
