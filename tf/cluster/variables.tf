variable "name" {
  description = "Name of the cluster and prefix of everything that belongs to it."
  type        = string
  default     = "labelbus"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,28}[a-z0-9]$", var.name))
    error_message = "name: 3 to 30 lower-case letters, digits and hyphens, beginning with a letter; it becomes part of role, bucket and repository names."
  }
}

variable "region" {
  description = "AWS region."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region: an AWS region such as eu-central-1."
  }
}

variable "tags" {
  description = "Tags for every resource, beside Project and ManagedBy."
  type        = map(string)
  default     = {}
}

# ── network ──────────────────────────────────────────────────────────────────

variable "vpc_cidr" {
  description = "Private address range of the VPC. Every pod takes an address, so a /16 is not too large."
  type        = string
  default     = "10.42.0.0/16"

  validation {
    condition     = can(cidrnetmask(var.vpc_cidr)) && can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.)", var.vpc_cidr))
    error_message = "vpc_cidr: a private IPv4 range such as 10.42.0.0/16."
  }

  validation {
    condition     = try(tonumber(split("/", var.vpc_cidr)[1]) >= 16 && tonumber(split("/", var.vpc_cidr)[1]) <= 20, false)
    error_message = "vpc_cidr: a /16 to a /20; AWS accepts nothing larger, and pods would run out of addresses in anything smaller."
  }
}

variable "zone_count" {
  description = "How many availability zones where zones names none: 2, or 3 for NATS with three replicas that outlives a zone."
  type        = number
  default     = 3

  validation {
    condition     = contains([2, 3], var.zone_count)
    error_message = "zone_count: 2 or 3; EKS needs two zones, and the address range is cut for three."
  }
}

variable "zones" {
  description = "The availability zones by name, such as [\"eu-central-1a\", \"eu-central-1b\"]; empty takes the region's first zone_count. Name them for a cluster that is to last: a zone that AWS adds in between would move the subnets."
  type        = list(string)
  default     = []

  validation {
    condition     = contains([0, 2, 3], length(distinct(var.zones))) && length(distinct(var.zones)) == length(var.zones)
    error_message = "zones: two or three different zones, or none to have them chosen."
  }
}

variable "single_nat_gateway" {
  description = "One NAT gateway for all zones. False puts one in each: costs more, and the failure of a zone does not cut off the others."
  type        = bool
  default     = true
}

# ── access ───────────────────────────────────────────────────────────────────

variable "api_access_cidrs" {
  description = "Addresses that may reach the Kubernetes API from outside the VPC, such as [\"203.0.113.7/32\"]. Empty: only from inside, so run tf/helm from there."
  type        = set(string)

  validation {
    condition     = alltrue([for cidr in var.api_access_cidrs : can(cidrnetmask(cidr))])
    error_message = "api_access_cidrs: IPv4 ranges such as 203.0.113.7/32."
  }

  validation {
    condition     = !anytrue([for cidr in var.api_access_cidrs : endswith(cidr, "/0")])
    error_message = "api_access_cidrs: the whole internet is not an access list; name the addresses you work from."
  }
}

variable "admin_role_arns" {
  description = "IAM roles that administer the cluster, beside whoever creates it."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.admin_role_arns : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/", arn))])
    error_message = "admin_role_arns: ARNs of IAM roles, arn:aws:iam::<account>:role/<name>."
  }
}

# ── cluster ──────────────────────────────────────────────────────────────────

variable "kubernetes_version" {
  description = "Minor version of Kubernetes. The chart needs 1.29, where a sidecar outlives its pod's main container."
  type        = string
  default     = "1.33"

  validation {
    condition     = can(regex("^1\\.(29|[3-9][0-9])$", var.kubernetes_version))
    error_message = "kubernetes_version: 1.29 or later, without a patch number."
  }
}

variable "cpu_nodes" {
  description = "The node group for everything that asks for no GPU."
  type = object({
    instance_types = optional(list(string), ["m7i.xlarge"])
    capacity_type  = optional(string, "ON_DEMAND")
    min_size       = optional(number, 2)
    desired_size   = optional(number, 3)
    max_size       = optional(number, 6)
    disk_gib       = optional(number, 100)
  })
  default = {}

  validation {
    condition     = var.cpu_nodes.min_size <= var.cpu_nodes.desired_size && var.cpu_nodes.desired_size <= var.cpu_nodes.max_size && var.cpu_nodes.min_size >= 1
    error_message = "cpu_nodes: 1 <= min_size <= desired_size <= max_size."
  }

  validation {
    condition     = contains(["ON_DEMAND", "SPOT"], var.cpu_nodes.capacity_type)
    error_message = "cpu_nodes.capacity_type: ON_DEMAND or SPOT."
  }

  validation {
    condition     = var.cpu_nodes.disk_gib >= 50
    error_message = "cpu_nodes.disk_gib: 50 at least; the official Triton image alone takes 20."
  }
}

variable "gpu_nodes" {
  description = "A node group with NVIDIA GPUs for workers; null (the default) makes none. min_size 0 lets an autoscaler remove its nodes."
  type = object({
    instance_types = optional(list(string), ["g6.xlarge"])
    capacity_type  = optional(string, "ON_DEMAND")
    min_size       = optional(number, 1)
    desired_size   = optional(number, 1)
    max_size       = optional(number, 4)
    disk_gib       = optional(number, 150)
  })
  default = null

  validation {
    condition     = var.gpu_nodes == null ? true : var.gpu_nodes.min_size >= 0 && var.gpu_nodes.min_size <= var.gpu_nodes.desired_size && var.gpu_nodes.desired_size <= var.gpu_nodes.max_size
    error_message = "gpu_nodes: 0 <= min_size <= desired_size <= max_size."
  }

  validation {
    condition     = var.gpu_nodes == null ? true : alltrue([for type in var.gpu_nodes.instance_types : can(regex("^(g[4-9]|p[3-9])", type))])
    error_message = "gpu_nodes.instance_types: types with NVIDIA GPUs, such as g6.xlarge."
  }

  validation {
    condition     = var.gpu_nodes == null ? true : contains(["ON_DEMAND", "SPOT"], var.gpu_nodes.capacity_type)
    error_message = "gpu_nodes.capacity_type: ON_DEMAND or SPOT."
  }
}

variable "install_addons" {
  description = "Install the EKS add-ons (network, DNS, storage drivers, metrics). False only where something else installs them: without the network plugin no node gets ready."
  type        = bool
  default     = true
}

variable "log_retention_days" {
  description = "How long the control plane's logs are kept in CloudWatch."
  type        = number
  default     = 365

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "log_retention_days: a number that CloudWatch accepts, such as 30, 90 or 365."
  }
}

# ── what labelbus needs ──────────────────────────────────────────────────────

variable "model_store" {
  description = "Storage of the model repository. efs: the converter writes it in the cluster. s3: it is converted elsewhere and copied there, and the cluster only reads."
  type        = string
  default     = "efs"

  validation {
    condition     = contains(["efs", "s3"], var.model_store)
    error_message = "model_store: efs or s3."
  }
}

variable "backups" {
  description = "Back the models on EFS up every day with AWS Backup (kept 35 days). A bucket keeps old versions for 90 days either way."
  type        = bool
  default     = true
}

variable "keep_images" {
  description = "How many images each ECR repository keeps."
  type        = number
  default     = 20

  validation {
    condition     = var.keep_images >= 2 && floor(var.keep_images) == var.keep_images
    error_message = "keep_images: a whole number, 2 at least, or there is nothing to roll back to."
  }
}

variable "force_destroy" {
  description = "Let destroy delete images and models as well. EFS goes with its models either way; its backups stay."
  type        = bool
  default     = false
}
