package protocol

import "strconv"

// String is Kafka's name of the API.
func (k Key) String() string {
	if k.Known() {
		return keyNames[k]
	}
	return "Key" + strconv.Itoa(int(k))
}

// Known says whether Kafka has ever had an API of this key.
func (k Key) Known() bool { return k >= 0 && k < KeyCount }

// Versions is the range of versions of one API.
type Versions struct {
	Min, Max int16
	Flexible int16 // first version with compact lengths and tagged fields; -1: none has
	Served   bool  // false: not an API of a client listener
}

// Has says whether the version may be used.
func (v Versions) Has(version int16) bool {
	return v.Served && version >= v.Min && version <= v.Max
}

// VersionsOf is what Apache Kafka 4.3.1 serves on a client listener, which is the
// most that Millrace serves.
//
// Produce is here from version 3, which is the first that works; ApiVersions must
// name 0 (see ProduceAdvertisedMin).
func VersionsOf(k Key) Versions {
	if !k.Known() {
		return Versions{}
	}
	return kafka431[k]
}

// ProduceAdvertisedMin is what ApiVersions says of Produce. Versions 0 to 2 are
// refused all the same; librdkafka turns compression off when it does not see them
// (KAFKA-18659).
const ProduceAdvertisedMin = 0

// IsFlexible says whether this version has compact lengths and tagged fields.
func (k Key) IsFlexible(version int16) bool {
	v := VersionsOf(k)
	return v.Served && v.Flexible >= 0 && version >= v.Flexible
}

// RequestHeader is the version of the request's header: 2 has tagged fields, 1 has
// not.
func (k Key) RequestHeader(version int16) int16 {
	if k.IsFlexible(version) {
		return 2
	}
	return 1
}

// ResponseHeader is the version of the answer's header: 1 has tagged fields, 0 has
// not. ApiVersions stays at 0 for ever, since a client that does not know the
// version yet must be able to read the answer (KIP-511).
func (k Key) ResponseHeader(version int16) int16 {
	if k != ApiVersions && k.IsFlexible(version) {
		return 1
	}
	return 0
}
