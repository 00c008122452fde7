// Command metrics-server is upstream's metrics-server: what "kubectl top" and
// autoscalers ask for the machines' and pods' use of processors and memory.
package main

import (
	"os"

	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/component-base/logs"
	"sigs.k8s.io/metrics-server/cmd/metrics-server/app"
)

func main() {
	logs.InitLogs()
	err := app.NewMetricsServerCommand(genericapiserver.SetupSignalHandler()).Execute() // which prints its error
	logs.FlushLogs()
	if err != nil {
		os.Exit(1)
	}
}
