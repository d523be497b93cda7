package protocol

import "strconv"

// Code is an error code of the Kafka protocol. It answers a client without
// allocation; errors of the world and bugs have other types.
type Code int16

type errorRow struct {
	name      string
	retriable bool
	message   string
}

func (c Code) row() *errorRow {
	i := int(c) + 1
	if i < 0 || i >= len(errorTable) {
		return nil
	}
	return &errorTable[i]
}

// String is the name in Kafka's enum, such as UNKNOWN_TOPIC_OR_PARTITION.
func (c Code) String() string {
	if r := c.row(); r != nil {
		return r.name
	}
	return "CODE_" + strconv.Itoa(int(c))
}

// Message is Kafka's sentence for the code, as its brokers send it.
func (c Code) Message() string {
	if r := c.row(); r != nil {
		return r.message
	}
	return "Unknown error code " + strconv.Itoa(int(c)) + "."
}

// Retriable says whether a client may send the same request again.
func (c Code) Retriable() bool {
	r := c.row()
	return r != nil && r.retriable
}

// Ok says whether the code is None.
func (c Code) Ok() bool { return c == None }

// Error makes a Code usable as an error; None must not be used as one.
func (c Code) Error() string { return c.String() + ": " + c.Message() }
