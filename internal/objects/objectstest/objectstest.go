// Package objectstest makes empty artifact stores for tests, on the real S3 server that the tests run beside.
package objectstest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/attune-automation/attune/internal/host/hosttest"
)

// Each runs a test on every kind of store, each time on an empty one.
func Each(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	for name, empty := range map[string]func(testing.TB) string{"directory": Directory, "s3": S3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, empty(t))
		})
	}
}

// Directory returns the URL of an empty directory.
func Directory(t testing.TB) string { return "file://" + t.TempDir() }

// Endpoint returns the address of the server that ATTUNE_TEST_S3_URL names. Without the variable the test is skipped,
// but fails in CI.
func Endpoint(t testing.TB) string {
	t.Helper()
	server := os.Getenv("ATTUNE_TEST_S3_URL")
	hosttest.Needs(t, server != "", "ATTUNE_TEST_S3_URL names no server: `make test` starts one")
	return server
}

// S3 returns the URL of a new bucket on the server of Endpoint.
func S3(t testing.TB) string {
	t.Helper()
	return Bucket(t, Endpoint(t))
}

// Bucket makes a bucket on a server, and returns its URL.
func Bucket(t testing.TB, endpoint string) string {
	t.Helper()
	name := fmt.Sprintf("attune-%d-%d", os.Getpid(), buckets.Add(1))
	cfg, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	caller := awshttp.NewBuildableClient().Freeze()
	if keeper, ok := caller.(interface{ CloseIdleConnections() }); ok {
		defer keeper.CloseIdleConnections()
	}
	cfg.HTTPClient = caller
	client := s3.NewFromConfig(cfg, func(o *s3.Options) { o.BaseEndpoint, o.UsePathStyle = aws.String(endpoint), true })
	if _, err := client.CreateBucket(context.Background(), &s3.CreateBucketInput{Bucket: aws.String(name)}); err != nil {
		t.Fatalf("make a bucket: %v", err)
	}
	return At(name, endpoint)
}

// At is the URL of a bucket on a server.
func At(bucket, endpoint string) string {
	return "s3://" + bucket + "?use_path_style=true&endpoint=" + url.QueryEscape(endpoint)
}

// buckets makes the names of buckets unique in this process.
var buckets atomic.Int64
