# ── from tf/cluster: terraform output -json helm_variables > ../helm/cluster.auto.tfvars.json ────────────────────────

variable "region" {
  description = "AWS region of the cluster."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region: an AWS region such as eu-central-1."
  }
}

variable "cluster_name" {
  description = "The cluster, as `aws eks get-token` knows it."
  type        = string

  validation {
    condition     = can(regex("^[0-9A-Za-z][0-9A-Za-z_-]{0,99}$", var.cluster_name))
    error_message = "cluster_name: the name of an EKS cluster."
  }
}

variable "cluster_endpoint" {
  description = "The API server."
  type        = string

  validation {
    condition     = startswith(var.cluster_endpoint, "https://")
    error_message = "cluster_endpoint: an https address."
  }
}

variable "cluster_certificate_authority" {
  description = "The API server's certificate authority, base64."
  type        = string

  validation {
    condition     = can(base64decode(var.cluster_certificate_authority))
    error_message = "cluster_certificate_authority: base64, as tf/cluster outputs it."
  }
}

variable "repository_urls" {
  description = "Image repositories by image."
  type        = map(string)

  validation {
    condition     = length(setsubtract(["dispatcher", "worker", "logsink", "converter"], keys(var.repository_urls))) == 0
    error_message = "repository_urls: dispatcher, worker, logsink and converter, each with its repository."
  }
}

variable "model_store" {
  description = "Storage of the models: kind efs with file_system_id, or kind s3 with bucket."
  type = object({
    kind           = string
    file_system_id = optional(string, "")
    bucket         = optional(string, "")
  })

  validation {
    condition     = contains(["efs", "s3"], var.model_store.kind)
    error_message = "model_store.kind: efs or s3."
  }

  validation {
    condition     = var.model_store.kind != "efs" || var.model_store.file_system_id != ""
    error_message = "model_store: efs needs file_system_id."
  }

  validation {
    condition     = var.model_store.kind != "s3" || var.model_store.bucket != ""
    error_message = "model_store: s3 needs bucket."
  }
}

variable "gpu" {
  description = "Run workers on the GPU nodes, one GPU each."
  type        = bool
  default     = false
}

# ── the release ──────────────────────────────────────────────────────────────

variable "image_tag" {
  description = "Tag of the images that were pushed, the same for all."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.image_tag)) && var.image_tag != "latest"
    error_message = "image_tag: a tag that never moves, such as a version or a commit; not latest."
  }
}

variable "release_name" {
  description = "Name of the Helm release."
  type        = string
  default     = "labelbus"

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$", var.release_name))
    error_message = "release_name: 1 to 40 lower-case letters, digits and hyphens, beginning with a letter."
  }
}

variable "namespace" {
  description = "Namespace, created if missing."
  type        = string
  default     = "labelbus"

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.namespace))
    error_message = "namespace: 1 to 63 lower-case letters, digits and hyphens, a letter or digit at both ends."
  }
}

variable "workers" {
  description = "How many workers."
  type        = number
  default     = 2

  validation {
    condition     = var.workers >= 1 && floor(var.workers) == var.workers
    error_message = "workers: a whole number, 1 at least."
  }
}

variable "high_availability" {
  description = "Three NATS servers and two dispatchers, spread over the zones."
  type        = bool
  default     = true
}

variable "extra_values" {
  description = "Further Helm values as YAML documents; later ones win."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for document in var.extra_values : can(keys(yamldecode(document)))])
    error_message = "extra_values: YAML documents, each a map of values."
  }
}

variable "timeout_s" {
  description = "How long the release may take to be ready; the official Triton image alone takes minutes to pull."
  type        = number
  default     = 1200

  validation {
    condition     = var.timeout_s >= 60
    error_message = "timeout_s: 60 at least."
  }
}
