cluster "site" {
  max_unavailable = "0%" # ERROR: Invalid amount
  sysctls = { # ERROR: Invalid sysctl; Reserved sysctl; Invalid sysctl
    "net.ipv4.ip_forward" = 0
    somaxconn             = 4096
    "net.core.somaxconn"  = ""
  }

  kubelet {
    max_pods = 0 # ERROR: Invalid number of pods
    settings = { # ERROR: Reserved setting; Reserved setting; Wrong value type; Unknown setting; Unknown setting; Wrong value type; Wrong value type
      cgroupDriver = "cgroupfs"
      clusterDNS   = ["10.0.0.10"]
      maxPodz      = 200
      podPidsLimit = "many"
      evictionHard = { "memory.available" = 500 }
      memorySwap   = "NoSwap"
      logging      = { verbozity = 4 }
    }
  }

  proxy {
    settings = { mode = "ipvs", conntrack = { min = "many" }, nodePortAddress = [] } # ERROR: Wrong value type; Reserved setting; Unknown setting
  }

  apiserver {
    extra_args = { # ERROR: Invalid flag; Invalid flag; Reserved flag; Reserved flag; Reserved flag; Invalid flag
      "--audit-log-maxage" = "10"
      "Audit-Log-MaxAge"   = "10"
      "etcd-servers"       = "https://10.0.0.1:2379"
      "oidc-issuer-url"    = "https://example.org"
      help                 = "true"
      v                    = "2\n"
    }
  }

  controller_manager {
    extra_args = { "leader-elect" = "false" } # ERROR: Reserved flag
  }

  scheduler {
    extra_args = ["--v=4"] # ERROR: Wrong value type
  }

  api {
    extra_sans = ["api.example.org:6443", "*.example.org", "10.0.0"] # ERROR: Invalid name; Invalid name; Invalid name
  }

  registry "docker.io" {
    mirrors = ["10.0.0.5:5000", "https://user@example.org"] # ERROR: Invalid mirror; Invalid mirror
    ca      = "components.hcl" # ERROR: Invalid certificate file
  }
  registry "docker.io" { mirrors = ["https://a.example.org"] } # ERROR: Duplicate registry
  registry "https://ghcr.io" { skip_verify = true } # ERROR: Invalid registry
  registry "quay.io" {} # ERROR: Empty registry block
  registry "ghcr.io" { ca = "no-such-file.pem" } # ERROR: Unreadable certificate file
}

machine "m1" {
  address = "10.0.0.1"
  kubelet {
    max_pods = 200 # ERROR: Duplicate setting
    settings = { maxPods = 200 }
  }
  sysctls = "net.core.somaxconn=4096" # ERROR: Wrong value type
}
