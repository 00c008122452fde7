# A cluster with things of its own in it: plain manifests and a helm chart. What
# provision brings itself is switched off where something else does it.
#
#   provision up examples/addons/cluster.hcl

cluster "shop" {
  addons {
    storage = false # no pod here keeps anything
  }
}

machine "m1" { address = "192.168.40.11" }
machine "w1" { address = "192.168.40.21" }
machine "w2" { address = "192.168.40.22" }

addon "limits" {
  manifests = ["hello/*.yaml"]
  namespace = "hello" # made with the addon, and deleted with it
}

addon "site" {
  chart     = "site" # a chart's folder, or an archive such as "site-1.0.0.tgz"
  namespace = "site"
  values = {
    greeting = "hello"
    replicas = 2
  }

  # images = ["site-images.tar"] # for machines that reach no registry
}
