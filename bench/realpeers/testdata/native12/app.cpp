// An HTTP program on the C++ framework 0.12: what the checks of bench/realpeers
// ask every worker for.

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>

#include <cocaine/framework/worker.hpp>
#include <cocaine/framework/worker/http.hpp>

using namespace cocaine::framework;
using namespace cocaine::framework::worker;

typedef http::event<> http_event;

namespace {

// number is the value of name=NUMBER at the end of a query.
int number(const std::string& uri, const std::string& name) {
    const auto at = uri.find(name + "=");
    return at == std::string::npos ? 0 : std::atoi(uri.c_str() + at + name.size() + 1);
}

std::string header(const http_request_t& rq, const std::string& name) {
    for (const auto& h : rq.headers) {
        if (h.first == name) {
            return h.second;
        }
    }
    return "";
}

void serve(http_event::fresh_sender tx, http_event::fresh_receiver rx) {
    auto got = rx.recv().get();
    const http_request_t rq = std::get<0>(got);
    const std::string path = rq.uri.substr(0, rq.uri.find('?'));
    const auto mark = rq.uri.find('?');
    const std::string query = mark == std::string::npos ? "" : rq.uri.substr(mark + 1);

    http_response_t rs;
    rs.code = 200;
    if (path == "/pid" || path == "/slow") {
        std::this_thread::sleep_for(std::chrono::milliseconds(number(query, "ms")));
        tx.send(std::move(rs)).get().send(std::to_string(getpid())).get();
    } else if (path == "/echo") {
        auto body = std::get<1>(got).recv().get();
        rs.code = 201;
        rs.headers.emplace_back("X-Method", rq.method);
        rs.headers.emplace_back("X-Query", query);
        rs.headers.emplace_back("X-Got", header(rq, "X-Sent"));
        rs.headers.emplace_back("X-Twice", "one");
        rs.headers.emplace_back("X-Twice", "two");
        auto next = tx.send(std::move(rs)).get();
        if (body && !body->empty()) {
            next.send(*body).get();
        }
    } else if (path == "/big") {
        std::string line;
        while (line.size() < 16384) {
            line += "0123456789abcdef";
        }
        auto next = tx.send(std::move(rs)).get();
        for (int n = number(query, "n"); n > 0; n -= line.size()) {
            next = next.send(line.substr(0, n)).get();
        }
    } else if (path == "/fail") {
        throw std::runtime_error("as asked");
    } else {
        rs.code = 404;
        tx.send(std::move(rs)).get();
    }
}

} // namespace

int main(int argc, char** argv) {
    worker_t worker(options_t(argc, argv));
    worker.on<http_event>("http", &serve);
    return worker.run();
}
