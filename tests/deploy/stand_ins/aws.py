"""AWS on loopback, for an apply and a destroy: `python aws.py` prints its address and serves until it is ended.

moto, which keeps what Terraform makes in memory, with what it leaves out and the modules read: the security group
that EKS makes for a cluster.
"""

import sys
from typing import Any

from moto.ec2 import ec2_backends
from moto.eks.models import EKSBackend
from moto.server import ThreadedMotoServer

_create_cluster = EKSBackend.create_cluster


def create_cluster(self: Any, *args: Any, **kwargs: Any) -> Any:
    """A cluster with a security group of its own in the VPC of its subnets."""
    cluster = _create_cluster(self, *args, **kwargs)
    ec2 = ec2_backends[self.account_id][self.region_name]
    subnet = ec2.get_subnet(cluster.resources_vpc_config["subnetIds"][0])
    group = ec2.create_security_group(f"eks-cluster-sg-{cluster.name}", "made by EKS", vpc_id=subnet.vpc_id)
    cluster.resources_vpc_config |= {"clusterSecurityGroupId": group.id, "vpcId": subnet.vpc_id}
    return cluster


def main() -> None:
    EKSBackend.create_cluster = create_cluster
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    print(f"http://{host}:{port}", flush=True)
    sys.stdin.read()  # until whoever started it closes the pipe
    server.stop()


if __name__ == "__main__":
    main()
