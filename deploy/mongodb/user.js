// Run once by the MongoDB image, on an empty volume: wardline's user, who may do no more than wardline does.
const password = require("fs").readFileSync("/run/secrets/mongodb_password", "utf8").trim();

db.getSiblingDB("wardline").createUser({
  user: "wardline",
  pwd: password,
  roles: [{ role: "readWrite", db: "wardline" }],
});
