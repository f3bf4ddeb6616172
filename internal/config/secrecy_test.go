package config_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// parts are what no output may hold of the passwords in these tests.
var parts = []string{"hush", "mum"}

func tells(text string) string {
	for _, part := range parts {
		if strings.Contains(text, part) {
			return part
		}
	}
	return ""
}

func TestWhatIsShownHasNoPassword(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ database, queue, want string }{
		{"postgres://u:hush@h/d", "amqp://u:mum@h/v", "postgres://u:xxxxx@h/d"},
		{"postgres://u:hush#mum?x@h/d", "amqp://h", "postgres://u:xxxxx@h/d"}, // pgx takes it, net/url does not
		{"postgres://u:hush:mum@h:5432,i:5433/d", "amqp://h", "postgres://u:xxxxx@h:5432,i:5433/d"},
		{"postgresql://u:h%40hush@h/d?sslmode=disable", "amqp://h", "postgresql://u:xxxxx@h/d?sslmode=disable"},
		{"postgres://u@h/d?password=hush&sslmode=disable", "amqp://h", "postgres://u@h/d?password=xxxxx&sslmode=disable"},
		{"postgres://h/d?user=u&PASSWORD=hush", "amqp://h", "user=u&PASSWORD=xxxxx"},
		{"postgres://h/d?sslpassword=hush&passfile=/hush", "amqp://h", "sslpassword=xxxxx&passfile=xxxxx"},
		{"postgres://h/d?pass%77ord=hush&api_token=mum&Client_Secret=hush", "amqp://h", "pass%77ord=xxxxx&api_token=xxxxx&Client_Secret=xxxxx"},
		{"postgres://h/d", "amqp://u:hush@mum@h:5671/v", "amqp://u:xxxxx@h:5671/v"},
		{"postgres://h/d", "amqps://u:p@h/v?password=hush&heartbeat=5", "amqps://u:xxxxx@h/v?password=xxxxx&heartbeat=5"},
	} {
		cfg, err := load(t, "", "ATTUNE__DATABASE__URL="+test.database, "ATTUNE__MESSAGE_QUEUE__URL="+test.queue)
		if err != nil {
			t.Errorf("%s, %s: %v", test.database, test.queue, err)
			continue
		}
		var text bytes.Buffer
		if err := cfg.Write(&text); err != nil {
			t.Fatal(err)
		}
		settings := fmt.Sprint(cfg.Settings())
		if part := tells(text.String() + settings); part != "" || !strings.Contains(settings, test.want) {
			t.Errorf("want %s and not %q:\n%s", test.want, part, &text)
		}
	}
}

// hostile are URLs that are wrong somewhere beside, or because of, what their passwords hold.
func hostile(scheme string) []string {
	var urls []string
	for _, password := range []string{
		"hush@mum", "hush/mum", "hush?mum", "hush#mum", "hush%mum", "hush%zzmum", "hush mum", "hush:mum", "hush\\mum", "hush\"mum",
		"hush[mum", "hush]mum", "12/hush@mum", "12?hush=@mum", "12#hush@mum", "hush\x01mum", "hush&mum", "hush`: mum", "%hush", "mum%",
	} {
		for _, rest := range []string{"h/d", "h:port/d", "h/d?sslmode=nonsense", "h/d?connect_timeout=x", "[::1/d", "h/%zz", "", "h/d?password=mum%zz", "h:1:2/d"} {
			urls = append(urls, scheme+"://u:"+password+"@"+rest)
		}
	}
	return urls
}

func TestFaultsHaveNoPassword(t *testing.T) {
	t.Parallel()
	refused := 0
	for _, key := range []string{"DATABASE__URL", "MESSAGE_QUEUE__URL", "ARTIFACTS__STORE", "SERVER__LISTEN", "WORKER__NAME", "LOG__LEVEL"} {
		for _, scheme := range []string{"postgres", "postgresql", "amqp", "mysql", "Postgres"} {
			for _, url := range hostile(scheme) {
				cfg, err := load(t, "", "ATTUNE__"+key+"="+url)
				if err == nil {
					t.Errorf("%s is accepted alone: %q", key, url)
					continue
				}
				refused++
				if part := tells(err.Error()); part != "" {
					t.Errorf("%s=%q: the error holds %q: %v", key, url, part, err)
				}
				if part := tells(fmt.Sprint(cfg.Settings())); part != "" {
					t.Errorf("%s=%q: what is shown holds %q", key, url, part)
				}
			}
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
}

// What is right about a URL but for one setting is told, so that it can be mended.
func TestFaultsOfURLsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"postgres://u:hush@h/d?sslmode=nonsense":            "sslmode is invalid",
		"postgres://u:hush@h:x/d":                           "invalid port",
		"postgres://u:hush@h/d?target_session_attrs=master": "target_session_attrs",
		"postgres://u:hush@mum@h/d":                         "%40",
		"postgres://u:hu%zzsh@h/d":                          "%XX",
	} {
		_, err := load(t, "", "ATTUNE__DATABASE__URL="+url, "ATTUNE__MESSAGE_QUEUE__URL=amqp://h")
		if err == nil || !strings.Contains(err.Error(), want) || tells(err.Error()) != "" {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
}
