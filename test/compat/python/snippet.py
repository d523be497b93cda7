"""What a newcomer writes: JSON out, JSON in, with a group.

snippet.py BOOTSTRAP produce FIRST COUNT | consume FIRST COUNT
"""

import json
import sys

from kafka import KafkaConsumer, KafkaProducer

bootstrap, mode, first, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])

if mode == "produce":
    producer = KafkaProducer(bootstrap_servers=bootstrap,
                             value_serializer=lambda v: json.dumps(v).encode())
    for n in range(first, first + count):
        producer.send("hello-world", {"n": n, "text": "héllo"})
    producer.flush()
    producer.close()
else:
    consumer = KafkaConsumer("hello-world", bootstrap_servers=bootstrap, group_id="newcomers",
                             auto_offset_reset="earliest", enable_auto_commit=False,
                             value_deserializer=json.loads, consumer_timeout_ms=30000,
                             max_poll_records=count)
    got = []
    for message in consumer:
        got.append(message.value["n"])
        if len(got) == count:
            break
    if got != list(range(first, first + count)):
        sys.exit(f"got {got[:5]}... ({len(got)} records), want {first}..{first + count - 1}")
    consumer.commit()
    consumer.close()
