output "namespace" {
  description = "Where the release is."
  value       = helm_release.labelbus.namespace
}

output "next_steps" {
  description = "How to reach the gateway from here."
  value       = <<-TEXT
    aws eks update-kubeconfig --region ${var.region} --name ${var.cluster_name}
    helm test --namespace ${var.namespace} ${var.release_name}
    kubectl --namespace ${var.namespace} port-forward deployment/${local.fullname}-dispatcher 8080
    curl http://127.0.0.1:8080/health
  TEXT
}
