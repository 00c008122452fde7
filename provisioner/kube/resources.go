package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
)

// groupVersionKind is how a manifest names its type.
type groupVersionKind struct {
	APIVersion, Kind string
}

// resource is how the API's paths name it.
type resource struct {
	Plural     string
	Namespaced bool
}

// builtin holds the types that a cluster of ours is made of, so that applying
// them asks nothing first. Any other type is looked up.
var builtin = map[groupVersionKind]resource{
	{"v1", "Namespace"}:                                                     {"namespaces", false},
	{"v1", "Node"}:                                                          {"nodes", false},
	{"v1", "ConfigMap"}:                                                     {"configmaps", true},
	{"v1", "Secret"}:                                                        {"secrets", true},
	{"v1", "Service"}:                                                       {"services", true},
	{"v1", "ServiceAccount"}:                                                {"serviceaccounts", true},
	{"v1", "Pod"}:                                                           {"pods", true},
	{"v1", "Endpoints"}:                                                     {"endpoints", true},
	{"v1", "PersistentVolume"}:                                              {"persistentvolumes", false},
	{"v1", "PersistentVolumeClaim"}:                                         {"persistentvolumeclaims", true},
	{"apps/v1", "DaemonSet"}:                                                {"daemonsets", true},
	{"apps/v1", "Deployment"}:                                               {"deployments", true},
	{"apps/v1", "StatefulSet"}:                                              {"statefulsets", true},
	{"batch/v1", "Job"}:                                                     {"jobs", true},
	{"batch/v1", "CronJob"}:                                                 {"cronjobs", true},
	{"discovery.k8s.io/v1", "EndpointSlice"}:                                {"endpointslices", true},
	{"policy/v1", "PodDisruptionBudget"}:                                    {"poddisruptionbudgets", true},
	{"networking.k8s.io/v1", "NetworkPolicy"}:                               {"networkpolicies", true},
	{"rbac.authorization.k8s.io/v1", "Role"}:                                {"roles", true},
	{"rbac.authorization.k8s.io/v1", "RoleBinding"}:                         {"rolebindings", true},
	{"rbac.authorization.k8s.io/v1", "ClusterRole"}:                         {"clusterroles", false},
	{"rbac.authorization.k8s.io/v1", "ClusterRoleBinding"}:                  {"clusterrolebindings", false},
	{"storage.k8s.io/v1", "StorageClass"}:                                   {"storageclasses", false},
	{"scheduling.k8s.io/v1", "PriorityClass"}:                               {"priorityclasses", false},
	{"apiextensions.k8s.io/v1", "CustomResourceDefinition"}:                 {"customresourcedefinitions", false},
	{"apiregistration.k8s.io/v1", "APIService"}:                             {"apiservices", false},
	{"admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"}:        {"validatingadmissionpolicies", false},
	{"admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding"}: {"validatingadmissionpolicybindings", false},
	{"admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"}:   {"validatingwebhookconfigurations", false},
	{"admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"}:     {"mutatingwebhookconfigurations", false},
	{"flowcontrol.apiserver.k8s.io/v1", "FlowSchema"}:                       {"flowschemas", false},
	{"flowcontrol.apiserver.k8s.io/v1", "PriorityLevelConfiguration"}:       {"prioritylevelconfigurations", false},
}

// resource finds the path's name of a type: in the table, in what was learnt
// before, or by asking. A type that the server does not know (yet) satisfies
// fs.ErrNotExist.
func (c *Client) resource(ctx context.Context, kind groupVersionKind) (resource, error) {
	if known, is := builtin[kind]; is {
		return known, nil
	}
	c.mu.Lock()
	known, is := c.resources[kind]
	c.mu.Unlock()
	if is {
		return known, nil
	}
	data, err := c.Do(ctx, http.MethodGet, groupPath(kind.APIVersion), "", nil)
	if err != nil {
		return resource{}, err
	}
	var list struct {
		Resources []struct {
			Name       string
			Kind       string
			Namespaced bool
		}
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return resource{}, fmt.Errorf("what the server knows of %s: %w", kind.APIVersion, err)
	}
	for _, r := range list.Resources {
		if r.Kind == kind.Kind && !strings.Contains(r.Name, "/") { // pods/status is of kind Pod too
			known := resource{r.Name, r.Namespaced}
			c.mu.Lock()
			c.resources[kind] = known
			c.mu.Unlock()
			return known, nil
		}
	}
	return resource{}, fmt.Errorf("the server knows no %s in %s: %w", kind.Kind, kind.APIVersion, fs.ErrNotExist)
}

func groupPath(apiVersion string) string {
	if !strings.Contains(apiVersion, "/") {
		return "/api/" + url.PathEscape(apiVersion)
	}
	group, version, _ := strings.Cut(apiVersion, "/")
	return "/apis/" + url.PathEscape(group) + "/" + url.PathEscape(version)
}
