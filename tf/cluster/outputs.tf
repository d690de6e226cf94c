output "cluster_name" {
  description = "For `aws eks update-kubeconfig --name`."
  value       = module.eks.cluster_name
}

output "repository_urls" {
  description = "Where to push each image."
  value       = module.registry.repository_urls
}

output "vpc_id" {
  description = "The VPC, for peering."
  value       = module.network.vpc_id
}

output "private_subnet_ids" {
  description = "The nodes' subnets, by zone."
  value       = module.network.private_subnet_ids
}

output "addon_role_arns" {
  description = "The IAM role of each add-on's service account."
  value       = module.eks.addon_role_arns
}

output "helm_variables" {
  description = "What tf/helm needs, as its variables: `terraform output -json helm_variables > ../helm/cluster.auto.tfvars.json`."
  value = {
    region                        = var.region
    cluster_name                  = module.eks.cluster_name
    cluster_endpoint              = module.eks.endpoint
    cluster_certificate_authority = module.eks.certificate_authority
    repository_urls               = module.registry.repository_urls
    model_store = {
      kind           = var.model_store
      file_system_id = module.models.file_system_id
      bucket         = module.models.bucket
    }
    gpu = var.gpu_nodes != null
  }
}
