from pipelines.gauges import BULK, TRAINING


def test_names_follow_the_conventions_of_prometheus() -> None:
    for name in (*TRAINING, *BULK):
        assert name == name.lower() and not name.endswith("_total")  # which would be a counter
