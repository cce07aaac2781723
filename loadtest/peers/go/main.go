// The strongest in-house alternative: net/http and franz-go.
//
// POST /inbound/demo takes an sms.received event and answers 200 once Kafka has acknowledged the record
// (acks=all, idempotent: both are franz-go's defaults). No signature is checked. PORT, BROKERS and ROUTES
// come from the environment, and LINGER_MS: 1 cost least of 0, 0.1, 0.5, 1, 2 and 5 at 64 connections (a
// tenth less than 0).
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
)

const bodyMax = 64 << 10

type event struct {
	Type      string `json:"type"`
	Timestamp string `json:"timestamp"`
	Data      struct {
		ID   string `json:"id"`
		From string `json:"from"`
		To   string `json:"to"`
		Text string `json:"text"`
	} `json:"data"`
}

type rule struct {
	Kind  string `json:"kind"`
	Match string `json:"match"`
}

// The same fields as sms-router's record, so about the same size.
type record struct {
	SchemaVersion    int    `json:"schema_version"`
	ID               string `json:"id"`
	Account          string `json:"account"`
	Carrier          string `json:"carrier"`
	CarrierMessageID string `json:"carrier_message_id"`
	From             string `json:"from"`
	FromRaw          string `json:"from_raw"`
	To               string `json:"to"`
	ToRaw            string `json:"to_raw"`
	Text             string `json:"text"`
	Keyword          string `json:"keyword"`
	Rest             string `json:"rest"`
	Department       string `json:"department"`
	Rule             rule   `json:"rule"`
	RoutesVersion    string `json:"routes_version"`
	SentAt           string `json:"sent_at"`
	ReceivedAt       string `json:"received_at"`
}

type server struct {
	client *kgo.Client
	routes map[string]string
}

func main() {
	routes, err := readRoutes(os.Getenv("ROUTES"))
	if err != nil {
		log.Fatal(err)
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(os.Getenv("BROKERS"), ",")...),
		kgo.ProducerLinger(linger()),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
	)
	if err != nil {
		log.Fatal(err)
	}
	if err := client.Ping(context.Background()); err != nil {
		log.Fatal(err)
	}
	uuid.EnableRandPool()
	http.Handle("POST /inbound/demo", &server{client, routes})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyMax))
	var event event
	if err == nil {
		err = json.Unmarshal(body, &event)
	}
	if err != nil || event.Type != "sms.received" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	topic, value, err := s.route(&event)
	if err == nil {
		err = s.publish(r.Context(), &kgo.Record{Topic: topic, Key: []byte(event.Data.From), Value: value})
	}
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// The topic of the text's first word, and the record's value.
func (s *server) route(event *event) (string, []byte, error) {
	text := &event.Data
	first, rest, _ := strings.Cut(strings.TrimSpace(text.Text), " ")
	keyword := strings.ToUpper(first)
	topic, known := s.routes[keyword]
	if !known {
		topic = s.routes["*"]
	}
	value, err := json.Marshal(&record{
		SchemaVersion: 1, ID: uuid.NewString(), Account: "demo", Carrier: "generic", CarrierMessageID: text.ID,
		From: text.From, FromRaw: text.From, To: text.To, ToRaw: text.To, Text: text.Text,
		Keyword: keyword, Rest: strings.TrimSpace(rest), Department: topic, Rule: rule{"word", keyword},
		RoutesVersion: "000000000000", SentAt: event.Timestamp,
		ReceivedAt: time.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00"),
	})
	return topic, value, err
}

// Returns when Kafka has the record.
func (s *server) publish(ctx context.Context, record *kgo.Record) error {
	acknowledged := make(chan error, 1)
	s.client.Produce(ctx, record, func(_ *kgo.Record, err error) { acknowledged <- err })
	return <-acknowledged
}

func linger() time.Duration {
	milliseconds, err := strconv.ParseFloat(os.Getenv("LINGER_MS"), 64)
	if err != nil {
		return time.Millisecond
	}
	return time.Duration(milliseconds * float64(time.Millisecond))
}

func readRoutes(path string) (map[string]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	routes := make(map[string]string)
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) == 2 {
			routes[fields[0]] = fields[1]
		}
	}
	return routes, lines.Err()
}
