package main

import (
	"context"
	"os/exec"
	"text/template"

	"github.com/heddle-go/heddle/bench/internal/stack"
)

// nginxConfig is what an operator who knows nginx would write for a program on
// the same machine: connections kept on both sides and never closed for their
// age, no access log, bodies streamed rather than put into files first, as the
// others stream them too, and the request fields that heddle's front adds.
// Everything it writes is below its prefix.
var nginxConfig = template.Must(template.New("nginx.conf").Parse(`{{if .Root}}user root;
{{end}}worker_processes {{.Threads}};
worker_rlimit_nofile {{.Files}};
pid nginx.pid;
error_log stderr error;
events {
	worker_connections {{.Conns}};
}
http {
	access_log off;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	scgi_temp_path scgi;
	uwsgi_temp_path uwsgi;
	keepalive_requests 1000000000;
	keepalive_timeout 120s;
	client_max_body_size 0;
	upstream app {
		server unix:{{.Socket}};
		keepalive 1024;
		keepalive_requests 1000000000;
	}
	server {
		listen {{.Addr}} reuseport backlog=4096;
		location / {
{{- if .FastCGI}}
			fastcgi_pass app;
			fastcgi_keep_conn on;
			fastcgi_request_buffering off;
			fastcgi_max_temp_file_size 0;
			fastcgi_param REQUEST_METHOD $request_method;
			fastcgi_param REQUEST_URI $request_uri;
			fastcgi_param SCRIPT_NAME "";
			fastcgi_param QUERY_STRING $query_string;
			fastcgi_param CONTENT_TYPE $content_type;
			fastcgi_param CONTENT_LENGTH $content_length;
			fastcgi_param SERVER_PROTOCOL $server_protocol;
			fastcgi_param REMOTE_ADDR $remote_addr;
			fastcgi_param REMOTE_PORT $remote_port;
			fastcgi_param HTTP_HOST $http_host;
			fastcgi_param HTTP_X_REQUEST_ID $request_id;
			fastcgi_param HTTP_X_FORWARDED_FOR $proxy_add_x_forwarded_for;
			fastcgi_param HTTP_X_FORWARDED_PROTO $scheme;
			fastcgi_param HTTP_X_FORWARDED_HOST $http_host;
{{- else}}
			proxy_pass http://app;
			proxy_http_version 1.1;
			proxy_request_buffering off;
			proxy_max_temp_file_size 0;
			proxy_set_header Connection "";
			proxy_set_header Host $http_host;
			proxy_set_header X-Request-Id $request_id;
			proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
			proxy_set_header X-Forwarded-Proto $scheme;
			proxy_set_header X-Forwarded-Host $http_host;
{{- end}}
		}
	}
}
`))

// startNginx keeps nginx in the foreground, so that it is our child and its
// workers are our child's.
func startNginx(ctx context.Context, p place) (*stack.Stack, error) {
	return startBefore(ctx, p, "nginx.conf", nginxConfig, func(config string) []string {
		return []string{"nginx", "-p", p.dir, "-c", config, "-e", "stderr", "-g", "daemon off; master_process on;"}
	})
}

func startFastCGI(ctx context.Context, p place) (*stack.Stack, error) {
	p.fastCGI = true
	return startNginx(ctx, p)
}

// onPath is exec.LookPath with the directories for daemons, which are not on
// every user's PATH.
func onPath(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		for _, dir := range []string{"/usr/sbin/", "/usr/local/sbin/"} {
			if path, err2 := exec.LookPath(dir + program); err2 == nil {
				return path, nil
			}
		}
	}
	return path, err
}
