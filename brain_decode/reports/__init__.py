"""Tables, figures and the HTML report; computes nothing."""
