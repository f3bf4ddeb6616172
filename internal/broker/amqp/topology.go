package amqp

import (
	"fmt"

	rabbit "github.com/rabbitmq/amqp091-go"

	"github.com/attune-automation/attune/internal/broker"
)

// deadExchange takes dead letters to broker.DeadLetterQueue under the routing key that they had. It is a fanout, so
// that no key can miss.
const deadExchange = "attune.dead"

func declareExchange(channel *rabbit.Channel, name string) error {
	if err := channel.ExchangeDeclare(name, rabbit.ExchangeTopic, true, false, false, false, nil); err != nil {
		return fmt.Errorf("declare exchange %s: %w", name, err)
	}
	return nil
}

// declare makes sure that all is there that consuming s needs: the exchange, the dead letters, the queue, its keys.
func (b *Broker) declare(channel *rabbit.Channel, s broker.Subscription) error {
	if err := declareExchange(channel, b.config.Exchange); err != nil {
		return err
	}
	if err := b.declareDead(channel); err != nil {
		return err
	}
	if s.Queue != broker.DeadLetterQueue {
		durable, arguments := b.arguments(s)
		if _, err := channel.QueueDeclare(s.Queue, durable, s.Exclusive, s.Exclusive, false, arguments); err != nil {
			return fmt.Errorf("declare the queue: %w", err)
		}
	}
	for _, key := range s.Keys {
		if err := channel.QueueBind(s.Queue, key, b.config.Exchange, false, nil); err != nil {
			return fmt.Errorf("bind %s: %w", key, err)
		}
	}
	return nil
}

// arguments are those of the queue of s. They can never change for a queue that exists: RabbitMQ refuses to declare
// it otherwise.
func (b *Broker) arguments(s broker.Subscription) (durable bool, _ rabbit.Table) {
	if s.Exclusive {
		// Gone with its connection, so nothing to replicate. A consumer that lags loses the oldest messages instead of
		// having everybody's Publish refused: it is a page that somebody looks at.
		return false, rabbit.Table{
			rabbit.QueueTypeArg:     rabbit.QueueTypeClassic,
			rabbit.QueueMaxLenArg:   b.config.QueueLimit,
			rabbit.QueueOverflowArg: rabbit.QueueOverflowDropHead,
		}
	}
	arguments := rabbit.Table{
		rabbit.QueueTypeArg:      rabbit.QueueTypeQuorum,
		rabbit.QueueMaxLenArg:    b.config.QueueLimit,
		rabbit.QueueOverflowArg:  rabbit.QueueOverflowRejectPublish,
		"x-delivery-limit":       broker.DeliveryLimit,
		"x-dead-letter-exchange": deadExchange,
	}
	if s.Expires > 0 {
		arguments[rabbit.QueueTTLArg] = s.Expires.Milliseconds()
	}
	return true, arguments
}

// declareDead declares the dead-letter queue. It is a classic one, because a quorum queue of RabbitMQ 4 drops what is
// given back to it 20 times, and what is here stays until a person has settled it.
func (b *Broker) declareDead(channel *rabbit.Channel) error {
	if err := channel.ExchangeDeclare(deadExchange, rabbit.ExchangeFanout, true, false, false, false, nil); err != nil {
		return fmt.Errorf("declare exchange %s: %w", deadExchange, err)
	}
	_, err := channel.QueueDeclare(broker.DeadLetterQueue, true, false, false, false, rabbit.Table{
		rabbit.QueueTypeArg:     rabbit.QueueTypeClassic,
		rabbit.QueueMaxLenArg:   b.config.QueueLimit,
		rabbit.QueueOverflowArg: rabbit.QueueOverflowDropHead,
	})
	if err != nil {
		return fmt.Errorf("declare queue %s: %w", broker.DeadLetterQueue, err)
	}
	if err := channel.QueueBind(broker.DeadLetterQueue, "", deadExchange, false, nil); err != nil {
		return fmt.Errorf("bind queue %s: %w", broker.DeadLetterQueue, err)
	}
	return nil
}
