"""Names of fields as they are published, and what of them is needed.

Ray's are those of the reference of KubeRay 1.7 (ray.io/v1), Kubernetes' those of its API 1.32, Prometheus' those of
its operator (monitoring.coreos.com/v1). A value says what lies below a field: another such mapping, a list with what
each item has, or None where nothing is looked at any more.
"""

from typing import Any

Fields = Any  # dict[str, Fields] | list[Fields] | None


def names(text: str) -> dict[str, Fields]:
    """Fields of which nothing below is looked at."""
    return dict.fromkeys(text.split())


def unknown(value: object, fields: Fields, path: str = "") -> list[str]:
    """Paths of all fields of a resource that are not published."""
    if fields is None:
        return []
    if isinstance(fields, list):
        assert isinstance(value, list), f"{path} is no list"
        return [wrong for number, item in enumerate(value) for wrong in unknown(item, fields[0], f"{path}[{number}]")]
    assert isinstance(value, dict), f"{path} is no mapping"
    return [
        wrong
        for name, below in value.items()
        for wrong in (unknown(below, fields[name], f"{path}.{name}") if name in fields else [f"{path}.{name}"])
    ]


METADATA = names("name namespace labels annotations finalizers")
RESOURCES = names("limits requests claims")
KEY_REFERENCE = names("name key optional")
SOURCE = names("fieldRef resourceFieldRef") | {"secretKeyRef": KEY_REFERENCE, "configMapKeyRef": KEY_REFERENCE}
ENV = [names("name value") | {"valueFrom": SOURCE}]
ENV_FROM = [names("prefix") | {"configMapRef": names("name optional"), "secretRef": names("name optional")}]
HTTP_GET = names("path port host scheme httpHeaders")
ACTION = {"exec": names("command"), "httpGet": HTTP_GET, "tcpSocket": names("port host"), "sleep": names("seconds")}
PROBE = ACTION | {
    "grpc": names("port service"),
    **names("initialDelaySeconds periodSeconds timeoutSeconds failureThreshold successThreshold"),
    **names("terminationGracePeriodSeconds"),
}
SECCOMP = {"seccompProfile": names("type localhostProfile")}
CONTAINER = {
    **names("name image imagePullPolicy command args workingDir stdin stdinOnce tty restartPolicy resizePolicy"),
    **names("terminationMessagePath terminationMessagePolicy volumeDevices"),
    "env": ENV,
    "envFrom": ENV_FROM,
    "ports": [names("name containerPort protocol hostIP hostPort")],
    "resources": RESOURCES,
    "lifecycle": {"preStop": ACTION, "postStart": ACTION},
    "readinessProbe": PROBE,
    "livenessProbe": PROBE,
    "startupProbe": PROBE,
    "securityContext": {
        **names("allowPrivilegeEscalation privileged procMount readOnlyRootFilesystem runAsGroup runAsNonRoot"),
        **names("runAsUser seLinuxOptions appArmorProfile"),
        **SECCOMP,
        "capabilities": names("add drop"),
    },
    "volumeMounts": [names("name mountPath mountPropagation readOnly recursiveReadOnly subPath subPathExpr")],
}
POD = {
    **names("activeDeadlineSeconds affinity automountServiceAccountToken dnsConfig dnsPolicy enableServiceLinks"),
    **names("hostAliases hostname imagePullSecrets nodeName nodeSelector overhead preemptionPolicy priority"),
    **names("priorityClassName readinessGates resourceClaims restartPolicy runtimeClassName schedulerName"),
    **names("serviceAccountName shareProcessNamespace subdomain terminationGracePeriodSeconds"),
    **names("topologySpreadConstraints"),
    "containers": [CONTAINER],
    "initContainers": [CONTAINER],
    "tolerations": [names("key operator value effect tolerationSeconds")],
    "securityContext": {
        **names("fsGroup fsGroupChangePolicy runAsGroup runAsNonRoot runAsUser supplementalGroups sysctls"),
        **SECCOMP,
    },
    "volumes": [
        {
            **names("name hostPath nfs csi ephemeral downwardAPI"),
            "emptyDir": names("medium sizeLimit"),
            "secret": names("secretName items defaultMode optional"),
            "configMap": names("name items defaultMode optional"),
            "persistentVolumeClaim": names("claimName readOnly"),
            "projected": names("sources defaultMode"),
        }
    ],
}
TEMPLATE = {"metadata": METADATA, "spec": POD}
CLAIM = {
    **names("accessModes storageClassName volumeMode volumeName selector dataSource"),
    "resources": names("limits requests"),
}
SERVICE = {
    **names("type clusterIP selector sessionAffinity externalTrafficPolicy loadBalancerClass"),
    "ports": [names("name port targetPort protocol nodePort appProtocol")],
}

AUTOSCALER = {
    **names("image imagePullPolicy securityContext idleTimeoutSeconds upscalingMode version volumeMounts command args"),
    "resources": RESOURCES,
    "env": ENV,
    "envFrom": ENV_FROM,
}
HEAD_GROUP = {
    **names("enableIngress ingressOptions resources labels rayStartParams serviceType"),
    "headService": {"metadata": METADATA, "spec": SERVICE},
    "template": TEMPLATE,
}
WORKER_GROUP = {
    **names("suspend groupName replicas minReplicas maxReplicas idleTimeoutSeconds priority resources labels"),
    **names("rayStartParams numOfHosts"),
    "scaleStrategy": names("workersToDelete"),
    "template": TEMPLATE,
}
CREDENTIAL = {"value": None, "valueFrom": SOURCE}
RAY_CLUSTER = {
    **names("suspend managedBy headServiceAnnotations enableInTreeAutoscaling historyServerOptions networkPolicy"),
    **names("rayVersion"),
    "upgradeStrategy": names("type"),
    "authOptions": names("enableK8sTokenAuth secretName mode"),
    "autoscalerOptions": AUTOSCALER,
    "gcsFaultToleranceOptions": {
        **names("backend externalStorageNamespace redisAddress storage"),
        "redisUsername": CREDENTIAL,
        "redisPassword": CREDENTIAL,
    },
    "tlsOptions": names("enabled"),
    "headGroupSpec": HEAD_GROUP,
    "workerGroupSpecs": [WORKER_GROUP],
}
RAY_JOB = {
    **names("activeDeadlineSeconds backoffLimit metadata clusterSelector managedBy deletionStrategy entrypoint"),
    **names("runtimeEnvYAML jobId submissionMode entrypointResources entrypointNumCpus entrypointNumGpus"),
    **names("ttlSecondsAfterFinished preRunningDeadlineSeconds shutdownAfterJobFinishes suspend"),
    "submitterConfig": names("backoffLimit"),
    "submitterPodTemplate": TEMPLATE,
    "rayClusterSpec": RAY_CLUSTER,
}
RAY_SERVICE = {
    **names("rayClusterDeletionDelaySeconds serviceUnhealthySecondThreshold deploymentUnhealthySecondThreshold"),
    **names("managedBy serveConfigV2 excludeHeadPodFromServeSvc suspend"),
    "serveService": {"metadata": METADATA, "spec": SERVICE},
    "upgradeStrategy": {
        "type": None,
        "clusterUpgradeOptions": names("maxSurgePercent stepSizePercent intervalSeconds gatewayClassName"),
    },
    "rayClusterConfig": RAY_CLUSTER,
}

SELECTOR = names("matchLabels matchExpressions")
PEER = {"podSelector": SELECTOR, "namespaceSelector": SELECTOR, "ipBlock": names("cidr except")}
PORTS = [names("protocol port endPort")]
ENDPOINT = {
    **names("port portNumber path scheme interval scrapeTimeout params honorLabels relabelings metricRelabelings"),
    "authorization": {"type": None, "credentials": KEY_REFERENCE},
}
SPECIFICATIONS: dict[tuple[str, str], Fields] = {
    ("ray.io/v1", "RayCluster"): RAY_CLUSTER,
    ("ray.io/v1", "RayJob"): RAY_JOB,
    ("ray.io/v1", "RayService"): RAY_SERVICE,
    ("v1", "Service"): SERVICE,
    ("v1", "PersistentVolumeClaim"): CLAIM,
    ("apps/v1", "StatefulSet"): {
        **names("serviceName replicas updateStrategy podManagementPolicy persistentVolumeClaimRetentionPolicy"),
        "selector": SELECTOR,
        "template": TEMPLATE,
        "volumeClaimTemplates": [{"metadata": METADATA, "spec": CLAIM}],
    },
    ("networking.k8s.io/v1", "NetworkPolicy"): {
        "podSelector": SELECTOR,
        "policyTypes": None,
        "ingress": [{"from": [PEER], "ports": PORTS}],
        "egress": [{"to": [PEER], "ports": PORTS}],
    },
    ("monitoring.coreos.com/v1", "PodMonitor"): {
        **names("jobLabel podTargetLabels sampleLimit"),
        "selector": SELECTOR,
        "namespaceSelector": names("any matchNames"),
        "podMetricsEndpoints": [ENDPOINT],
    },
}
KUSTOMIZATION = {
    **names("apiVersion kind resources nameSuffix"),
    "patches": [{"target": names("kind name group version"), "patch": None}],
    "replacements": [
        {
            "source": names("kind name fieldPath"),
            "targets": [{"select": names("kind name"), "fieldPaths": None, "options": names("create delimiter")}],
        }
    ],
}

# What the operator cannot do without.
NEEDED_OF_CLUSTER = ("rayVersion", "headGroupSpec", "authOptions")
NEEDED_OF_GROUP = ("groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template")
# Words that a field takes; any other is refused.
WORDS = {
    "submissionMode": ("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"),
    "upscalingMode": ("Default", "Aggressive", "Conservative"),
    "version": ("v1", "v2"),
    "mode": ("disabled", "token"),
}

# The Compose Specification: keys of a service, of what is built, of a health check, and of a secret.
COMPOSE_SERVICE = {
    **names("image init restart cap_drop cap_add security_opt command entrypoint environment env_file ports volumes"),
    **names("shm_size stop_grace_period secrets networks user read_only tmpfs ulimits profiles pull_policy labels"),
    "build": names("context dockerfile args target secrets"),
    "depends_on": None,
    "healthcheck": names("test interval timeout retries start_period start_interval disable"),
    "deploy": {
        "resources": {
            "limits": names("cpus memory pids"),
            "reservations": {
                **names("cpus memory"),
                "devices": [names("driver count device_ids capabilities options")],
            },
        }
    },
}
COMPOSE_SECRET = names("file environment external name")
