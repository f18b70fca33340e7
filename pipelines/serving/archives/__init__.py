"""Archives over HTTP: a queue whose states outlive the cluster, in front of bulk runs."""
