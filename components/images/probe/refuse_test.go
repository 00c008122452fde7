package main

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestARefusalAnswersItsQuestion(t *testing.T) {
	answer := httptest.NewRecorder()
	sayNo(answer, httptest.NewRequest("POST", "/", strings.NewReader(`{"request":{"uid":"u-1"}}`)))
	var review struct {
		Response struct {
			UID     string
			Allowed bool
			Status  struct{ Message string }
		}
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &review); err != nil {
		t.Fatal(err)
	}
	if review.Response.UID != "u-1" || review.Response.Allowed || review.Response.Status.Message == "" {
		t.Errorf("answered %s", answer.Body)
	}
	bad := httptest.NewRecorder()
	if sayNo(bad, httptest.NewRequest("POST", "/", strings.NewReader("{"))); bad.Code != 400 {
		t.Errorf("half a question: status %d", bad.Code)
	}
}
