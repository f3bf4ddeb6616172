package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	tmtypes "github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"
	"golang.org/x/sync/errgroup"
)

// headerTime is how long S3 has to answer a request that was sent; what it answers may take longer to come.
const headerTime = time.Minute

// Parts of large objects, as small as S3 takes them. One is sent after the other, so that a few uploads at once hold a
// few of them in memory.
const (
	partBytes = 5 << 20
	partsOnce = 1
)

// remote is a bucket of S3, or of what speaks its protocol.
type remote struct {
	name    string
	client  *s3.Client
	manager *transfermanager.Client
	upload  transfermanager.UploadObjectInput // what each has
	idle    func()                            // closes the connections that are kept for later
}

// openRemote makes a client with credentials from where AWS's own programs look for them. It asks nobody yet.
func openRemote(ctx context.Context, p place) (bucket, error) {
	cfg, err := config.LoadDefaultConfig(ctx, p.settings()...)
	if err != nil {
		return nil, fmt.Errorf("the configuration of AWS: %w", err)
	}
	r := &remote{name: p.bucket, idle: func() {}}
	// It has the certificates of $AWS_CA_BUNDLE, so it is not replaced.
	if builder, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok {
		cfg.HTTPClient = builder.WithTransportOptions(func(t *http.Transport) { t.ResponseHeaderTimeout = headerTime }).Freeze()
	}
	if keeper, ok := cfg.HTTPClient.(interface{ CloseIdleConnections() }); ok {
		r.idle = keeper.CloseIdleConnections
	}
	r.client = s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = p.options.Get("use_path_style") == "true"
		o.UseAccelerate = p.options.Get("accelerate") == "true"
		if endpoint := p.options.Get("endpoint"); endpoint != "" {
			o.BaseEndpoint = aws.String(endpoint)
		}
		// It would write to stderr on its own, that what came in parts has no checksum of the whole.
		o.Logger = logging.Nop{}
	})
	r.manager = transfermanager.New(r.client, func(o *transfermanager.Options) {
		o.PartSizeBytes, o.MultipartUploadThreshold, o.Concurrency = partBytes, partBytes, partsOnce
		// It does not go by the client's, aws/aws-sdk-go-v2#3151.
		o.RequestChecksumCalculation = cfg.RequestChecksumCalculation
	})
	r.upload = transfermanager.UploadObjectInput{
		Bucket: aws.String(p.bucket), ContentType: aws.String("application/octet-stream"),
		ServerSideEncryption: tmtypes.ServerSideEncryption(p.options.Get("ssetype")),
	}
	if id := p.options.Get("kmskeyid"); id != "" {
		r.upload.SSEKMSKeyID = aws.String(id)
	}
	return r, nil
}

// settings are the options of a URL that stand before what the environment says.
func (p place) settings() (all []func(*config.LoadOptions) error) {
	for name, setting := range map[string]func(string) config.LoadOptionsFunc{
		"region":  config.WithRegion,
		"profile": config.WithSharedConfigProfile,
		"dualstack": func(text string) config.LoadOptionsFunc {
			state := aws.DualStackEndpointStateDisabled
			if text == "true" {
				state = aws.DualStackEndpointStateEnabled
			}
			return config.WithUseDualStackEndpoint(state)
		},
		"fips": func(text string) config.LoadOptionsFunc {
			state := aws.FIPSEndpointStateDisabled
			if text == "true" {
				state = aws.FIPSEndpointStateEnabled
			}
			return config.WithUseFIPSEndpoint(state)
		},
		"request_checksum_calculation": func(text string) config.LoadOptionsFunc {
			when := aws.RequestChecksumCalculationWhenSupported
			if text == "when_required" {
				when = aws.RequestChecksumCalculationWhenRequired
			}
			return config.WithRequestChecksumCalculation(when)
		},
		"response_checksum_validation": func(text string) config.LoadOptionsFunc {
			when := aws.ResponseChecksumValidationWhenSupported
			if text == "when_required" {
				when = aws.ResponseChecksumValidationWhenRequired
			}
			return config.WithResponseChecksumValidation(when)
		},
	} {
		if p.options.Has(name) {
			all = append(all, setting(p.options.Get(name)))
		}
	}
	return all
}

func (r *remote) put(ctx context.Context, name string, content io.Reader) error {
	upload := r.upload
	upload.Key, upload.Body = aws.String(name), content
	_, err := r.manager.UploadObject(ctx, &upload)
	return err
}

func (r *remote) get(ctx context.Context, name string, offset int64) (*Object, error) {
	in := &s3.GetObjectInput{Bucket: aws.String(r.name), Key: aws.String(name)}
	if offset > 0 {
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", offset))
	}
	out, err := r.client.GetObject(ctx, in)
	if hasCode(err, "InvalidRange") { // it begins behind the end
		about, err := r.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(r.name), Key: aws.String(name)})
		if err != nil {
			return nil, err
		}
		return &Object{http.NoBody, aws.ToInt64(about.ContentLength)}, nil
	}
	if err != nil {
		return nil, err
	}
	size := aws.ToInt64(out.ContentLength)
	if offset > 0 { // bytes 7-26/27
		_, total, _ := strings.Cut(aws.ToString(out.ContentRange), "/")
		if size, err = strconv.ParseInt(total, 10, 64); err != nil {
			return nil, errors.Join(fmt.Errorf("it answers with a range that is none: %w", err), out.Body.Close())
		}
	}
	return &Object{out.Body, size}, nil
}

// remove removes an object. S3 says nothing of whether it was there.
func (r *remote) remove(ctx context.Context, name string) error {
	_, err := r.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(r.name), Key: aws.String(name)})
	return err
}

func (r *remote) removeBelow(ctx context.Context, dir string) error {
	group, removing := errgroup.WithContext(ctx)
	group.SetLimit(removals)
	pages := s3.NewListObjectsV2Paginator(r.client, &s3.ListObjectsV2Input{Bucket: aws.String(r.name), Prefix: aws.String(dir + "/")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return errors.Join(err, group.Wait())
		}
		for _, object := range page.Contents {
			group.Go(func() error { return r.remove(removing, aws.ToString(object.Key)) })
		}
	}
	return group.Wait()
}

func (r *remote) close() { r.idle() }
