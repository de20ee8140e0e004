-- Sends the requests of a file, one after the other, and prints wrk's result as one line of JSON.
-- A line is: METHOD PATH SESSION BODY. The last two may be missing.
local TOKEN = string.rep("a", 32)  -- of a CSRF cookie of our own: it only has to be what the header says
local requests, last = {}, 0

function init(arguments)
  for line in io.lines(arguments[1]) do
    local method, path, session, body = line:match("^(%S+) (%S+) ?(%S*) ?(.*)$")
    local headers = {}
    for name, value in pairs(wrk.headers) do headers[name] = value end
    if session ~= "" then headers["Cookie"] = "sessionid=" .. session .. "; csrftoken=" .. TOKEN end
    if method == "POST" then
      headers["X-CSRFToken"], headers["Content-Type"] = TOKEN, "application/json"
      headers["Referer"] = "https://" .. headers["Host"] .. "/"
    end
    requests[#requests + 1] = wrk.format(method, path, headers, body ~= "" and body or nil)
  end
end

function request()
  last = last % #requests + 1
  return requests[last]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "refused": %d, "broken": %d, "bad_status": %d, "late": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect, errors.read + errors.write, errors.status, errors.timeout))
end
