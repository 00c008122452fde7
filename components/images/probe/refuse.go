package main

import (
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// maxReview bounds what an API server may ask about: its own limit on objects,
// with room for the envelope.
const maxReview = 8 << 20

// refuse is an admission webhook that says no to everything, in this pod's
// name: it shows that the API server's question reached it.
func refuse(args []string, _ io.Writer) error {
	flags := flag.NewFlagSet("refuse", flag.ContinueOnError)
	port := flags.Int("port", 8443, "TCP port")
	certificate := flags.String("cert", "/tls/tls.crt", "certificate")
	key := flags.String("key", "/tls/tls.key", "its key")
	if _, err := parse(flags, args, 0); err != nil {
		return err
	}
	server := &http.Server{
		Addr:              net.JoinHostPort("", strconv.Itoa(*port)),
		Handler:           http.HandlerFunc(sayNo),
		ReadHeaderTimeout: 10 * time.Second,
	}
	if err := server.ListenAndServeTLS(*certificate, *key); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func sayNo(w http.ResponseWriter, r *http.Request) {
	var review struct {
		Request struct {
			UID string `json:"uid"`
		} `json:"request"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxReview)).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{
		"apiVersion": "admission.k8s.io/v1",
		"kind":       "AdmissionReview",
		"response": map[string]any{
			"uid":     review.Request.UID,
			"allowed": false,
			"status":  map[string]any{"message": "the probe says no"},
		},
	})
}
