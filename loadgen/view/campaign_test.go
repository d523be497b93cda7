package view

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math/rand"
	"os"
	"strings"
	"testing"
	"time"
)

// contest is a campaign of likely rows.
func contest() *Campaign {
	rnd := rand.New(rand.NewSource(7))
	c := &Campaign{Format: CampaignFormat, Title: "Millrace against Apache Kafka 4.3.1",
		Lead: "2 vCPU, client on the same machine, loopback.",
		Made: time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC),
		Contestants: []Contestant{{"Millrace", "durable before every ack"}, {"Kafka", "defaults: page cache"},
			{"Kafka, flush", "flush.messages=1"}}}
	add := func(group, load, figure, unit string, more bool, ours, kafka, flush, goal float64) {
		row := Row{Group: group, Load: load, Figure: figure, Unit: unit, More: more,
			Command: "loadgen produce --rate 640k"}
		var runs [3][]float64
		for range 8 {
			for i, v := range []float64{ours, kafka, flush} {
				runs[i] = append(runs[i], v*(0.85+0.3*rnd.Float64()))
			}
		}
		for i, x := range c.Contestants {
			row.Values = append(row.Values, NewValue(x.Name, runs[i]))
			if i > 0 {
				r := NewRatio(x.Name, runs[0], runs[i])
				r.Goal = goal
				if i == 2 {
					r.Goal, r.Disturbed = 0, 1
				}
				row.Ratios = append(row.Ratios, r)
			}
		}
		c.Rows = append(c.Rows, row)
	}
	add("Throughput", "produce, 100 B × 64 per batch", "messages", "rate", true, 3.6e6, 1.4e6, 0.22e6, 2.5)
	add("Throughput", "produce, 1 message per request", "messages", "rate", true, 210e3, 32e3, 6.3e3, 3)
	add("Throughput", "produce, 1 KB × 512 per batch", "bytes", "byterate", true, 900e6, 610e6, 400e6, 2)
	add("Throughput", "fetch at the tail, 1 MB", "bytes", "byterate", true, 3.1e9, 3.4e9, 3.3e9, 1.2)
	add("Broker's cost", "produce, 100 B × 64 per batch", "CPU per million", "s", false, 0.1, 0.88, 6, 0.125)
	add("Broker's cost", "produce, 1 KB × 512 per batch", "CPU per GB", "s", false, 0.55, 2.5, 3.6, 0.125)
	add("Latency", "end to end, 2 000 messages/s", "p99", "us", false, 900, 1100, 4400, 1)
	add("Latency", "half of Kafka's maximum, 640 k messages/s", "p99 response", "us", false, 2600, 6500, 31000, 0.33)
	return c
}

func TestRatios(t *testing.T) {
	r := NewRatio("x", []float64{2, 4, 6, 0, 9}, []float64{1, 2, 3, 4})
	if r.Median != 2 || r.Low != 2 || r.High != 2 || len(r.Pairs) != 3 {
		t.Errorf("%+v", r)
	}
	again := NewRatio("x", []float64{1, 5, 9, 3, 4, 8}, []float64{1, 1, 1, 1, 1, 1})
	same := NewRatio("x", []float64{1, 5, 9, 3, 4, 8}, []float64{1, 1, 1, 1, 1, 1})
	if again.Low != same.Low || again.High != same.High || again.Low >= again.Median || again.High <= again.Median {
		t.Errorf("%+v %+v", again, same)
	}
	if r := NewRatio("x", nil, nil); len(r.Pairs) != 0 || r.Median != 0 {
		t.Errorf("%+v", r)
	}
	row := Row{}
	if m, l, h := row.Better(&Ratio{Median: 0.25, Low: 0.2, High: 0.5}); m != 4 || l != 2 || h != 5 {
		t.Error("a quarter is not four times better", m, l, h)
	}
}

func TestCampaignReport(t *testing.T) {
	c := contest()
	var file bytes.Buffer
	if err := c.Write(&file); err != nil {
		t.Fatal(err)
	}
	c, err := ReadCampaign(&file, "x")
	if err != nil {
		t.Fatal(err)
	}
	c.Rows = append(c.Rows, Row{Group: "Latency", Load: "not <measured>", Figure: "p99", Unit: "us",
		Ratios: []Ratio{{Against: "Kafka"}}})
	var out bytes.Buffer
	if err := CampaignHTML(&out, c); err != nil {
		t.Fatal(err)
	}
	page := out.String()
	for _, want := range []string{"fetch at the tail", "(produce, 1 message per request, messages), worst 0.9", "not &lt;measured&gt;",
		"95 % interval, pairs", "durable before every ack", "8 (1 disturbed)", "not measured"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "NaN") || strings.Contains(page, "Inf") {
		t.Error("figures that are none")
	}
	dir := t.TempDir()
	names, err := CampaignPictures(dir, "kafka-", c)
	if err != nil || len(names) != 3 || names[1] != dir+"/kafka-broker-s-cost.svg" {
		t.Fatalf("%v %v", err, names)
	}
	for _, name := range names {
		wellFormed(t, name)
	}
}

// wellFormed reads a picture as XML.
func wellFormed(t *testing.T, name string) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(bytes.NewReader(data)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

func TestUntrueCampaigns(t *testing.T) {
	for rule, change := range map[string]func(*Campaign){
		"format":                  func(c *Campaign) { c.Format = "x" },
		"1 contestants":           func(c *Campaign) { c.Contestants = c.Contestants[:1] },
		"0 rows":                  func(c *Campaign) { c.Rows = nil },
		"a ratio of":              func(c *Campaign) { c.Rows[0].Ratios[0].Low = 0 },
		"is not among the others": func(c *Campaign) { c.Rows[0].Ratios[0].Against = "Millrace" },
	} {
		c := contest()
		change(c)
		if err := CampaignHTML(io.Discard, c); err == nil || !strings.Contains(err.Error(), rule) {
			t.Errorf("%s: %v", rule, err)
		}
	}
}

func FuzzReadCampaign(f *testing.F) {
	var file bytes.Buffer
	small := contest()
	small.Rows = small.Rows[:1]
	if err := small.Write(&file); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ReadCampaign(bytes.NewReader(data), "x")
		if err != nil {
			return
		}
		if err := CampaignHTML(io.Discard, c); err != nil {
			t.Fatal(err)
		}
	})
}
