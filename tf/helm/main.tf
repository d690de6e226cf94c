# The chart k8s/labelbus on the cluster of tf/cluster: the cluster's outputs (images, file system) become values,
# everything else is in the chart's values files.

locals {
  values_folder = "${path.module}/../../k8s/values"
  efs           = var.model_store.kind == "efs"
  models_class  = "${var.release_name}-models"

  # As the chart makes it.
  named    = strcontains(var.release_name, "labelbus") ? var.release_name : "${var.release_name}-labelbus"
  fullname = trimsuffix(substr(local.named, 0, min(40, length(local.named))), "-")

  # Access points with the chart's user id, so that pods need no root to write.
  efs_objects = tolist([yamlencode({
    apiVersion  = "storage.k8s.io/v1"
    kind        = "StorageClass"
    metadata    = { name = local.models_class }
    provisioner = "efs.csi.aws.com"
    parameters = {
      provisioningMode = "efs-ap"
      fileSystemId     = var.model_store.file_system_id
      directoryPerms   = "750"
      uid              = "10001"
      gid              = "10001"
    }
    reclaimPolicy = "Retain"
  })])

  # A bucket has no storage class: its volume is declared here, read-only.
  s3_objects = tolist([
    yamlencode({
      apiVersion = "v1"
      kind       = "PersistentVolume"
      metadata   = { name = local.models_class }
      spec = {
        capacity                      = { storage = "1Ti" } # asked for by Kubernetes, ignored by the driver
        accessModes                   = ["ReadOnlyMany"]
        storageClassName              = ""
        persistentVolumeReclaimPolicy = "Retain"
        claimRef                      = { namespace = var.namespace, name = local.models_class }
        mountOptions                  = ["read-only", "region ${var.region}", "uid=10001", "gid=10001", "allow-other"]
        csi = {
          driver           = "s3.csi.aws.com"
          volumeHandle     = local.models_class
          volumeAttributes = { bucketName = var.model_store.bucket }
        }
      }
    }),
    yamlencode({
      apiVersion = "v1"
      kind       = "PersistentVolumeClaim"
      metadata   = { name = local.models_class }
      spec = {
        accessModes      = ["ReadOnlyMany"]
        storageClassName = ""
        volumeName       = local.models_class
        resources        = { requests = { storage = "1Ti" } }
      }
    }),
  ])

  values = {
    image      = { tag = var.image_tag }
    dispatcher = { image = { repository = var.repository_urls.dispatcher } }
    worker     = { image = { repository = var.repository_urls.worker }, replicas = var.workers }
    logsink    = { image = { repository = var.repository_urls.logsink } }
    converter  = { image = { repository = var.repository_urls.converter }, enabled = local.efs }
    models = local.efs ? {
      persistence = { storageClass = local.models_class, existingClaim = "" }
      } : {
      persistence = { storageClass = "", existingClaim = local.models_class }
    }
    # Helm replaces lists, so the entries of eks.yaml are repeated.
    extraObjects = concat(
      yamldecode(file("${local.values_folder}/eks.yaml")).extraObjects,
      local.efs ? local.efs_objects : local.s3_objects,
    )
  }
}

resource "helm_release" "labelbus" {
  name              = var.release_name
  namespace         = var.namespace
  create_namespace  = true
  chart             = "${path.module}/../../k8s/labelbus"
  dependency_update = true
  wait              = true
  atomic            = true # a release that does not become ready is rolled back
  cleanup_on_fail   = true
  timeout           = var.timeout_s
  max_history       = 10

  values = concat(
    [file("${local.values_folder}/eks.yaml")],
    var.high_availability ? [file("${local.values_folder}/ha.yaml")] : [],
    var.gpu ? [file("${local.values_folder}/gpu.yaml")] : [],
    [yamlencode(local.values)],
    var.extra_values,
  )
}
